"""Where a trained network looks: Grad-CAM and occlusion, by both frameworks."""
