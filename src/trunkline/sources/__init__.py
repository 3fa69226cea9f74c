"""Field protocols, one folder each; found by the entry point group 'trunkline.sources'."""
