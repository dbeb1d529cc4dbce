"""Where faces come from: crops, data sets, synthetic faces. One dataset format a file."""
