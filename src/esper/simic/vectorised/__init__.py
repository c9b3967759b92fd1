"""Trackers and recorder for thousands of environments at once: tensors of [envs, slots] on any device.

Apart from the reading methods that say so, nothing here waits for the device.
"""
