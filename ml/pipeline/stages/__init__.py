"""What each stage of the pipeline does; `ml.pipeline` calls them and records their results."""
