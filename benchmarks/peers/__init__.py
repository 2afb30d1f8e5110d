"""The same step written with other libraries, as their users would: what freewalk is compared with."""
