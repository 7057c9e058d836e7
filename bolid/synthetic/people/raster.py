"""Turns triangles into pixels and depths with VTK, off-screen, on a CPU without X."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bolid.core.errors import BolidError
from bolid.synthetic.people.body import body
from bolid.synthetic.people.mesh import Piece
from bolid.synthetic.people.scene import FIELD, Camera

NEAR, FAR = 0.25, 12.0
NO_EGL = (
    "rendering people needs EGL with Mesa, which this machine lacks; install it with "
    "`apt-get install libegl1 libgl1-mesa-dri` (Debian, Ubuntu)"
)


def require_egl() -> None:
    """Raises BolidError naming the packages if there is no EGL (VTK would abort the process)."""
    import ctypes.util

    if ctypes.util.find_library("EGL") is None:
        raise BolidError(NO_EGL)


class Raster:
    """One off-screen window, reused for every photo of one size.

    Args:
        height, width: Pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        require_egl()
        body()  # imports triton, whose LLVM crashes if Mesa's was loaded before it
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        os.environ.setdefault("LP_NUM_THREADS", "1")  # processes, not threads, use the cores
        import pyvista
        import vtk

        vtk.vtkObject.GlobalWarningDisplayOff()
        self.height, self.width = height, width
        self.plotter = pyvista.Plotter(off_screen=True, window_size=[width, height], lighting="none")
        self.plotter.renderer.SetBackground(0, 0, 0)
        window: Any = self.plotter.render_window
        window.SetMultiSamples(0)  # photos are drawn larger and averaged
        self.window = window
        self.mapper = vtk.vtkPolyDataMapper()
        self.mapper.SetColorModeToDirectScalars()
        actor = vtk.vtkActor()
        actor.SetMapper(self.mapper)
        actor.GetProperty().SetLighting(False)
        self.plotter.renderer.AddActor(actor)

    def draw(self, mesh: Piece, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """Colours (h, w, 3) uint8 and depths (h, w) float32 metres along the view, infinite where nothing is."""
        import pyvista
        from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray, vtkUnsignedCharArray

        poly = pyvista.PolyData.from_regular_faces(mesh.points, mesh.faces)
        rgb = (mesh.rgb * 255 + 0.5).astype(np.uint8)
        poly.GetPointData().SetScalars(numpy_to_vtk(rgb))
        self.mapper.SetInputData(poly)
        self._look(camera)
        self.window.Render()
        pixels, depths = vtkUnsignedCharArray(), vtkFloatArray()
        right, top = self.width - 1, self.height - 1
        self.window.GetPixelData(0, 0, right, top, 0, pixels, 0)
        self.window.GetZbufferData(0, 0, right, top, depths)
        colours = vtk_to_numpy(pixels).reshape(self.height, self.width, 3)[::-1]
        z = vtk_to_numpy(depths).reshape(self.height, self.width)[::-1]
        with np.errstate(divide="ignore"):
            metres = NEAR * FAR / (FAR - z * (FAR - NEAR))
        return colours, np.where(z < 1, metres, np.inf).astype(np.float32)

    def _look(self, camera: Camera) -> None:
        view = self.plotter.renderer.GetActiveCamera()
        view.SetPosition(*camera.position)
        view.SetFocalPoint(*(camera.position + camera.forward))
        view.SetViewUp(*camera.up)
        view.SetViewAngle(float(np.degrees(FIELD)))
        view.SetClippingRange(NEAR, FAR)

    def close(self) -> None:
        """Frees the window."""
        self.plotter.close()
