extends RefCounted
## The port of the demo: whoever connects says a word, is told tick and epoch, and is shown out.
##
## A port cannot be had twice: it is opened once this process plays, not while it waits as a standby. The process whose place a
## standby took may still have it for a moment, so it is tried again every tick.

## More do not wait.
const GUESTS_MAX := 16

var _server := TCPServer.new()
var _port := 0
var _guests: Array[StreamPeerTCP] = []


## Begins to serve, where DEMO_PORT names a port.
func open(port: String) -> void:
	_port = port.to_int()


## Serves who came. Gives the word of one of them, or nothing.
func tick(line: String) -> String:
	if _port == 0:
		return ""
	if not _server.is_listening() and _server.listen(_port, "127.0.0.1") != OK:
		return ""
	while _guests.size() < GUESTS_MAX and _server.is_connection_available():
		_guests.append(_server.take_connection())
	for guest in _guests.duplicate():
		guest.poll()
		var word := ""
		if guest.get_status() == StreamPeerTCP.STATUS_CONNECTED:
			if guest.get_available_bytes() == 0:
				continue
			word = guest.get_utf8_string(mini(guest.get_available_bytes(), 64)).strip_edges()
			guest.put_partial_data((line + "\n").to_utf8_buffer())
		guest.disconnect_from_host()
		_guests.erase(guest)
		if word != "":
			return word
	return ""
