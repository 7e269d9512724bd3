"""AMD: amdgpu's files in sysfs, KFD, sensors, and the shared memory of APUs."""
