extends SceneTree
## Exchanges values with the Rust codec (tests/variant_godot.rs):
##   write DIR   writes DIR/from_godot (frames) and DIR/refused (bytes to be refused)
##   read DIR    reads DIR/from_rust and compares it with the samples; reads the golden bytes of double precision

const Samples := preload("res://samples.gd")

var failures := 0


func _init() -> void:
	var arguments := OS.get_cmdline_user_args()
	match arguments[0]:
		"write":
			_write(arguments[1])
		"read":
			_read(arguments[1])
			_read_golden(arguments[2])
	print("done failures=%d" % failures)
	quit(1 if failures > 0 else 0)


func _write(directory: String) -> void:
	var file := FileAccess.open(directory + "/from_godot", FileAccess.WRITE)
	for value in Samples.all():
		# The peer that games use, to be sure that a frame is what put_var writes.
		var peer := StreamPeerBuffer.new()
		peer.put_var(value)
		file.store_buffer(peer.data_array)
	file.close()
	file = FileAccess.open(directory + "/refused", FileAccess.WRITE)
	for pair in Samples.refused(self):
		for part in pair:
			var bytes := var_to_bytes(part)
			file.store_32(bytes.size())
			file.store_buffer(bytes)
	file.close()


func _read(directory: String) -> void:
	var bytes := FileAccess.get_file_as_bytes(directory + "/from_rust")
	var at := 0
	for value in Samples.all():
		var length := bytes.decode_u32(at)
		var body := bytes.slice(at + 4, at + 4 + length)
		at += 4 + length
		var ours = bytes_to_var(body)
		if typeof(ours) != typeof(value) or var_to_bytes(ours) != var_to_bytes(value):
			_fail("%s became %s" % [var_to_str(value), var_to_str(ours)])
		if value is Array and not value.is_same_typed(ours):
			_fail("the array's type was lost: %s" % [value])
		if value is Dictionary and not value.is_same_typed(ours):
			_fail("the dictionary's type was lost: %s" % [value])
	if at != bytes.size():
		_fail("%d bytes are left over" % (bytes.size() - at))


# The golden bytes were made without Godot; this shows that Godot reads them as the test says.
func _read_golden(path: String) -> void:
	var lines := 0
	for line in FileAccess.get_file_as_string(path).split("\n", false):
		if line.begins_with("#"):
			continue
		lines += 1
		var parts := line.split(" ")
		var value = bytes_to_var(parts[1].hex_decode())
		var name := type_string(typeof(value)).to_snake_case().replace("_", "")
		if name != parts[0].replace("_", ""):
			_fail("golden %s was read as %s" % [parts[0], var_to_str(value)])
		var numbers := RegEx.create_from_string("-?\\d+\\.\\d+").search_all(var_to_str(value))
		if numbers.is_empty() or absf(numbers[0].get_string().to_float() - 0.1) > 1e-6:
			_fail("golden %s begins with another number: %s" % [parts[0], var_to_str(value)])
	if lines != 15:
		_fail("golden file has %d values" % lines)


func _fail(text: String) -> void:
	failures += 1
	printerr("FAILED: " + text)
