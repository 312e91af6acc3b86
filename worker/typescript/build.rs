//! Tells the linker that the host program brings the symbols of Node-API.

fn main() {
    napi_build::setup();
}
