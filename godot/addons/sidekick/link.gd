extends RefCounted
## One connection to sidekick: frames in, frames out, never blocking.
##
## A frame is what `put_var` writes: a little-endian u32 length, then the bytes of `var_to_bytes`.
## `put_var` and `put_data` themselves block the main loop once the reader stalls, so everything goes through
## `put_partial_data` and a queue of our own.

const PROTOCOL := 1
## Read at most this much per poll, so that a flood cannot eat a frame's time.
const READ_MAX := 4 << 20
## A frame over this is not from sidekick.
const FRAME_MAX := 64 << 20

## Bytes that wait to be written.
var queued_bytes := 0

# StreamPeerUDS on Godot 4.6 or newer, else StreamPeerTCP. Untyped, since older versions lack the common base class.
var _peer = null
var _outgoing: Array = []
var _written := 0
var _incoming := PackedByteArray()
var _failed := false


## The frame of a message.
static func frame(message: Dictionary) -> PackedByteArray:
	var body := var_to_bytes(message)
	var bytes := PackedByteArray()
	bytes.resize(4)
	bytes.encode_u32(0, body.size())
	bytes.append_array(body)
	return bytes


## The first frame of a connection.
static func hello(server: String, token: String, epoch: int, resumed: bool) -> PackedByteArray:
	return frame({
		"type": "hello", "protocol": PROTOCOL, "server": server, "token": token, "epoch": epoch,
		"os_pid": OS.get_process_id(), "engine": Engine.get_version_info()["string"],
		"precision": "double" if OS.has_feature("double") else "single", "resumed": resumed,
	})


## Whether a value may be plain data. Only its outermost type is looked at: looking inside every value would cost more
## than sending it; sidekick looks inside.
static func is_plain(value: Variant) -> bool:
	match typeof(value):
		TYPE_OBJECT, TYPE_CALLABLE, TYPE_SIGNAL, TYPE_RID:
			push_error("Sidekick: a value of type %s is not plain data" % type_string(typeof(value)))
			return false
	return true


## Whether this engine has Unix sockets.
static func has_unix_sockets() -> bool:
	return ClassDB.class_exists("StreamPeerUDS") and ClassDB.can_instantiate("StreamPeerUDS")


## Begins to connect. False where that fails at once.
func open(socket_path: String, address: String) -> bool:
	close()
	_failed = false
	if socket_path != "" and has_unix_sockets():
		_peer = ClassDB.instantiate("StreamPeerUDS")
		return _peer.connect_to_host(socket_path) == OK
	var colon := address.rfind(":")
	if colon < 0:
		return false
	_peer = StreamPeerTCP.new()
	var host := address.substr(0, colon).trim_prefix("[").trim_suffix("]")
	return _peer.connect_to_host(host, address.substr(colon + 1).to_int()) == OK


## Closes and forgets what was queued.
func close() -> void:
	if _peer != null:
		_peer.disconnect_from_host()
	_peer = null
	_outgoing.clear()
	_written = 0
	queued_bytes = 0
	_incoming = PackedByteArray()


## Looks at the socket: "connecting", "connected" or "closed".
func poll() -> String:
	if _peer == null or _failed:
		return "closed"
	_peer.poll()
	match _peer.get_status():
		1:
			return "connecting"
		2:
			if _peer is StreamPeerTCP:
				_peer.set_no_delay(true)
			return "connected"
	return "closed"


## Queues a frame.
func push(bytes: PackedByteArray) -> void:
	_outgoing.append(bytes)
	queued_bytes += bytes.size()


## Writes as much as the socket takes now.
func write() -> void:
	while not _outgoing.is_empty() and not _failed:
		var bytes: PackedByteArray = _outgoing[0]
		var rest := bytes if _written == 0 else bytes.slice(_written)
		var result: Array = _peer.put_partial_data(rest)
		if result[0] != OK:
			_failed = true
			return
		_written += result[1]
		queued_bytes -= result[1]
		if _written < bytes.size():
			return
		_outgoing.pop_front()
		_written = 0


## Blocks, without using the processor, until something arrives or the connection ends. Only for a process that has nothing else
## to do.
func wait() -> void:
	if _peer == null or _failed:
		return
	var result: Array = _peer.get_data(1)
	if result[0] == OK:
		_incoming.append_array(result[1])
	else:
		_failed = true


## The messages that have arrived whole.
func read() -> Array:
	var messages: Array = []
	var available: int = 0 if _peer == null else mini(_peer.get_available_bytes(), READ_MAX)
	if available > 0:
		var result: Array = _peer.get_partial_data(available)
		if result[0] != OK:
			_failed = true
			return messages
		_incoming.append_array(result[1])
	var at := 0
	while _incoming.size() - at >= 4:
		var length := _incoming.decode_u32(at)
		if length > FRAME_MAX:
			_failed = true
			break
		if _incoming.size() - at - 4 < length:
			break
		var message = bytes_to_var(_incoming.slice(at + 4, at + 4 + length))
		if message is Dictionary:
			messages.append(message)
		at += 4 + length
	if at > 0:
		_incoming = _incoming.slice(at)
	return messages
