//! Files that are broken, lie, or mean harm, one test each, named after what is wrong with them.
//!
//! Each is handed to the program itself, in an empty folder, under a limit of time and memory ([`harness`]). A payload would
//! leave a file in that folder; a test fails when anything is there that was not there before.

#![allow(unreachable_pub)] // Helpers of one test program.

mod harness;
mod torch_files;

mod attacks;
mod benign;
mod bypasses;
mod distributed;
mod expected_json;
mod foreign;
mod index;
mod legacy;
mod malicious_pickle;
mod mishap;
mod pages;
mod pickle_broken;
mod pickle_dos;
mod safetensors;
mod tensor_lies;
mod zip;
