"""The version, in a file that the build reads without importing torch."""

VERSION = "0.1.0"
