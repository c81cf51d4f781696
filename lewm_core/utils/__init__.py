"""What every room uses: errors, files, provenance, the workspace's paths."""
