"""One module per format that the package reads; a module that is here is part of the campaign."""
