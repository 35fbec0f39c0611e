"""The served model: the champion's lookup, the follower, and the store that workers swap from."""
