"""The page of an experiment: as HTML, Markdown, JSON, a picture and TensorBoard."""
