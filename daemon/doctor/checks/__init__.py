"""One check per module: a pure function from DoctorInput to findings."""
