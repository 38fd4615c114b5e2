//! What an operator may see and do in the running daemon: a read model and the control socket.
