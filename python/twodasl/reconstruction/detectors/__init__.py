"""Face detectors behind one interface, `detection.Detector`; `reconstruction.detect` chooses among them."""
