"""The marketer's rules: frames in, frames out."""
