"""What each stage of the pipeline does; `ml.pipeline.pipeline` calls them and records their results."""
