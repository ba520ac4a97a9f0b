"""The face in notebooks: what was seen of an app, how it is drawn, and the controls that steer."""
