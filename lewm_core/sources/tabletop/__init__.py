"""The simulated tabletop: scene, objects, policy, ray casting."""
