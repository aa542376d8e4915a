"""The art of the placeholder generator `sketch`: deterministic images from a prompt's words and a seed.

`art` draws, `words` reads the prompt, `palette` and `canvas` are the tools, `finish` the last touch; every
other module is a scene or two.
"""
