"""Rig: nodes, php-fpm hosts, faults and load for the cluster tests, the demo and the benchmark.

Plain Python 3 of Debian 12, no packages from elsewhere. Everything that it starts belongs to the process
that runs it and dies with it (see warden.py), listens on loopback, on Unix sockets in the run's own folder or
in network namespaces of its own, and picks free ports.
"""
