"""Pictures with the look of CALVIN's data, drawn on the CPU.

How a picture is made, and which file does what:

    URDF, meshes, textures                                      once a scene, kept on the disk
      `descriptions`   links, joints, and the shapes on them, as Bullet reads them
      `mesh_files`     OBJ and STL into triangles
      `primitives`     boxes, cylinders, spheres into triangles
      `textures`       pictures with their mip maps
      `blocks`         triangles in blocks of 64 neighbours that face one way
      `geometry`       all of it as arrays

    places of the bodies, angles of the joints                  once a step
      `kinematics`     where every link is now
      `still_layer`    which shapes have not moved for a while: these are drawn once and kept
      `shadow_map`     what the light sees: the depth of everything that casts a shadow

    a camera                                                    once a picture
      `viewing`        matrices from each shape to the camera
      `culling`        which blocks may be seen at all: half are beside the picture or turned away
      `drawing`        which triangle is seen at each pixel, and how far away: a key for each pixel
      `shading`        what colour it has there: surface, light, texture, shadow

`renderer` calls these in turn; `compiled` says how numba compiles the loops. Pictures of a moving arm cost some 3.5 ms
in all, for both cameras, with 110,000 triangles (`benchmarks/README.md`).

Why it is fast. Of a hundred thousand triangles only some seven thousand hold the centre of a pixel; two loops on
vectors find these, and only they reach the loop that writes. What a pixel looks like is reckoned after the nearest
triangle is known, so once. What does not move is kept with all that shading needs, so that a shadow that passes over it
costs a lookup.

What it must be like. Bullet's OpenGL renderer drew CALVIN's data, and its pictures are met to within rounding: light,
highlights, texture filtering, 16 bits of depth, the order in which equally near things win. Each constant's docstring
says where in Bullet's source it stands. The same picture comes out on every processor, because the loops are compiled
without the liberties that differ between them; and whatever happened before, because what is kept is only used where
it is still true.

To change a loop: keep `tests/envs/rendering` and, where recordings are at hand, `tests/envs/test_parity.py` green, and
look at `benchmarks/world.py` before and after. Traps:

- numba compiles a bare `0.5` as double precision and the whole expression after it, hence constants of type float32;
- sums and `|` of 32-bit whole numbers are 64-bit ones in numba, and of these half as many fit a vector;
- a loop that writes into many arrays does not run on vectors, for they might overlap: inside the hottest loops numbers
  stand in one flat array, at places that the compiler knows, and loops have lengths that it knows;
- a function that gets a bare `0` in one call and a count in another is compiled twice: `np.int64(0)`;
- numba's cache does not see changes in other files, hence what is compiled calls only what stands in its own file.

Whether a loop runs on vectors is told by its machine code: `vmulps` in `function.inspect_asm()`, not `vmulss`.
"""
