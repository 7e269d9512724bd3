"""AMD: amdgpu's sysfs files, KFD, sensors, and the shared memory of APUs."""
