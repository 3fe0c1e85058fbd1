"""The rasteriser: it draws the images of a world on the CPU, with the look of CALVIN's data.

Bullet's OpenGL renderer drew CALVIN's data. It needs a GPU driver, and draws differently with another driver. This one
needs no driver. It gives the same image on every processor, and an image depends on the state of the world alone.
`docs/images.md` shows what it must draw.

# The pipeline, in order

Once for a scene, in the folder `shapes`. The result is a `Geometry` of plain arrays, cached on the disk:

1. `descriptions` reads URDF files: links, joints, and the shapes on the links.
2. `mesh_files` reads OBJ and STL files into triangles. `primitives` does it for boxes, cylinders and spheres.
3. `textures` reads the images that meshes are covered with, and makes smaller copies of each (mip maps).
4. `blocks` sorts the triangles of each shape into blocks of 64 neighbours that face about the same way.
5. `geometry` puts all of this into arrays.

Once for a step of the world (`Renderer.update`):

6. `kinematics` finds where each link is, from the places of the bodies and the angles of the joints.
7. `still_layer` finds which shapes have not moved for a while. These are drawn once and kept.
8. `shadow_map` is what the light sees. `drawing.cast_blocks` draws it: the depth of everything that casts a shadow.

Once for an image (`Renderer.render`):

9. `viewing` computes a matrix from each shape to the camera.
10. `culling` drops blocks that are outside the image or face away. That is about half of them.
11. `drawing.draw_blocks` finds the nearest triangle at each pixel, and its depth. It writes one number, the key.
12. `pixels` finds which pixels must be shaded: those that moving things cover, and those that their shadow reaches.
13. `shading` computes the colour of each of these: surface, light, texture, shadow.

`renderer` calls these steps. Begin to read there. `rendered` has the input and the output of any renderer (`View`,
`Rendered`), and `compiled` says how numba compiles the loops. `envs/cameras` decides which renderer is used.

# Data layouts

- **Frames.** A frame is a 4 x 4 matrix from a link or a shape to the world, in metres, float64. The vertices of a shape
  are relative to its link, float32.
- **Numbers.** Links, shapes, blocks and triangles are counted over the whole world. Shape `s` owns the blocks
  `first_blocks[s]` to `first_blocks[s + 1] - 1`. See `shapes.blocks.Triangles`.
- **Block.** A row of 576 float32, four groups of 16 triangles. A group has 16 x of the first corners, then 16 y, then
  16 z, then the same for the second and the third corners. A processor computes with several neighbouring numbers in
  one instruction, so equal things are side by side. And it reads memory in order, so what is used together is together.
  A block that is not full repeats a corner, because a triangle without area is never visible.
- **Attributes.** What shading needs of a triangle: 24 float32, by the triangle's number. See `shapes.blocks.Triangles`.
- **Key.** An int64 for each pixel: 24 bits of depth, 19 bits of rank, 20 bits of the triangle's number, from the top.
  The smallest key wins. So the nearest triangle wins; of two with the same depth, the one whose shape comes first.
- **Surface.** 8 float32 for each shaded pixel: all of its colour that does not depend on shadows. See
  `shading.SURFACE_DIM`.
- **Textures.** All mip maps of all textures in one array of uint64, with 21 bits for each of three colours. See
  `shapes.textures.Textures`.
- **Rows** count from the bottom of an image upwards, as in OpenGL, until the finished image is turned over.
- **Pixel coordinates** are in units of 1/256 pixel, as in OpenGL.

# Where the constants come from

From Bullet 3.2.7, whose images are the reference; each constant's docstring names its source.

- Light, highlights, shadows (`shading`, `shadow_map`): Bullet's shader `useShadowMapInstancingPS` and the settings of
  its EGL plugin. The point that highlights are computed for is the plugin's initial camera.
- The depth buffer has 16 bits in CALVIN's scenes, as in Mesa's driver. Far surfaces then have the same depth over
  centimetres, so the order in which equal depths win is visible.
- Colours of links without one, the smoothing of cylinders, the order of joints: Bullet's URDF importer
  (`descriptions`, `primitives`).
- Block size, tile size, patience of the still layer: measured for speed. They do not change an image.

# Why it is fast

Two images of a moving arm with 110,000 triangles take about 2.6 ms (`benchmarks/README.md`).
Only about 7,000 of the triangles cover the centre of a pixel. Two vectorised loops find these, and only they reach the
loop that writes. A pixel is shaded once, after its nearest triangle is known. Pixels of still shapes are cached with
all that shading needs, sorted by the texel of the shadow map that they read. So a shadow that moves over them costs one
lookup, and only where the map has changed.

What was looked at, and promises little (counted on scene D with the arm above the table; images would stay the same):

- Dropping blocks that the shadow map hides. A block covers some 60 texels and is hidden only if all of them are nearer.
  With boxes around the corners, one block in eight could be dropped.
- Dropping triangles that are never seen. The map shows backs, so inner sides of shells cast too: from 120 directions,
  94 to 100 percent of each link's triangles were seen at least once (a quarter of the backs from a single one).
- Casting only into texels that some pixel reads. It drops 10 to 35 percent of the blocks, but the map could then be
  drawn only after the triangles of both images are known.
- Smaller blocks. With 32 or 16 triangles, 8 or 15 percent fewer are projected for the map, but two or four times as
  many blocks have to be chosen from.

# How to test a change

1. `pytest tests/envs/rendering tests/envs/cameras`: each step against a slow and simple computation, such as the ray
   caster in `tests/support/ray_caster.py`.
2. `python benchmarks/pictures.py DIR`: how far the images are from recorded ones of Bullet's OpenGL renderer, in units
   of 1/255. The mean difference must not grow; before the change, run it once and keep the table. DIR is described in
   `benchmarks/pictures.py`. With the same recordings, `pytest tests/envs/test_parity.py` compares single images.
3. `python docs/draw_scene.py`: draws the gallery of `docs/images.md` again. `git diff --stat docs/images` then lists
   the images that changed. No image may change unless that is the aim: `run.json` records the digest of a reference
   image.
4. `python benchmarks/world.py`: the time of a step, before and after.

Traps in compiled code:

- numba treats a bare `0.5` as double precision, and then the whole expression. So constants have the type float32.
- In numba, sums and `|` of 32-bit integers have 64 bits. Half as many of these fit a vector register.
- A loop that writes to many arrays is not vectorised, because the arrays might overlap. So the hottest loops keep their
  numbers in one flat array, at offsets and with lengths that the compiler knows.
- A function that gets a bare `0` in one call and a count in another is compiled twice. Write `np.int64(0)`. An argument
  that is None in some calls is compiled twice on purpose: `drawing._project` has no divisions where `near` is None.
- A row of an array (`keys[y]`) may count references (`NRT_incref` in the machine code). In the inner loops write
  `keys[y, x]`, with unsigned numbers. Divisions of whole numbers are slow: `shading` finds a pixel's row in floats.
- numba's cache does not notice changes in other files. So compiled functions call only functions of their own file.

To see whether a loop is vectorised, look at its machine code: `function.inspect_asm()` must contain `vmulps`. It has
`vmulss` as often, in a copy of the loop for arrays that overlap. Set `NUMBA_CACHE_DIR` to an empty folder for this.

Other rooms import `shapes`, `kinematics`, `rendered` and `renderer`. This room imports no other room.
"""
