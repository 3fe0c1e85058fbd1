"""What is drawn, read from files once for a scene: links, joints and shapes, and all of it as arrays.

Read in this order: `descriptions` (URDF), `mesh_files` and `primitives` (triangles), `textures`, `blocks` (triangles in
groups of 64), `geometry` (everything as arrays, and its cache on the disk).
"""
