package testfailover

// TestVM is what the test VM is described as.
var TestVM = testVM
