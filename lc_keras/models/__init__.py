"""The models, one a file. Import the module you need."""
