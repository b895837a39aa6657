#![no_main]

ckdiff_fuzz::target!(safetensors);
