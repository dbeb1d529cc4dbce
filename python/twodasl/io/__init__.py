"""Reading untrusted bytes, and writing whole files."""
