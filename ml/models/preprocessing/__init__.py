"""Preprocessing: fitted with the model and exported with it, as one graph.

| module | what is in it |
|---|---|
| `dates` | What a model is given of dates beside their days: season, weekday, and the days between each two |
| `encoded` | Preprocessed rows: numbers, missing flags and the places of categories, not yet side by side |
| `onnx_export` | A fitted `Preprocessor` as ONNX ops, step by step what its `transform` does |
| `preprocessor` | What happens to a canonical row before a model sees it, fitted with the model and exported with it |
| `state` | How to preprocess, and what fitting learned: plain values, shared by the transform and its ONNX form |
| `statistics` | Target statistics of categories with many levels: how the classes' odds differ at a level |
"""
