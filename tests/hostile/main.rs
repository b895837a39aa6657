//! Files that are broken, lie, or mean harm, one test each, named after what is wrong with them.
//!
//! Each is handed to the program itself, in an empty folder, under a limit of time and memory ([`harness`]). A payload would
//! leave a file in that folder; a test fails when anything is there that was not there before.

mod harness;

mod expected_json;
mod foreign;
mod index;
mod mishap;
mod safetensors;
