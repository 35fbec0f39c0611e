"""What each stage of the pipeline does; `ml.pipeline.pipeline` calls them and keeps their records
(`ml.pipeline.stages.records`)."""
