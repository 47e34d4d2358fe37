"""Benchmarks: each measures Foreword against a limit or a peer, in turns within one run."""
