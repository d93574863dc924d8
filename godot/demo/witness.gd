extends RefCounted
## Writes down what this process was told is durable, so that others can count what is missing.
##
## Lines of the file named by DEMO_WITNESS, each flushed at once:
##   restored tick=T hash=H first_tick=T+1 epoch=E replayed=N verified=true
##   acked epoch=E batch=B tick=T hash=H ids=I,I,…

var _file: FileAccess = null
var _waiting := {}
var _next := 0


func open(path: String) -> void:
	if path == "":
		return
	_file = FileAccess.open(path, FileAccess.READ_WRITE if FileAccess.file_exists(path) else FileAccess.WRITE)
	if _file == null:
		push_error("witness file %s: %s" % [path, error_string(FileAccess.get_open_error())])
		return
	_file.seek_end()


func write(line: String) -> void:
	if _file != null:
		_file.store_line(line)
		_file.flush()


## A tick was recorded in this batch.
func expect(batch: int, tick: int, world_hash: String, ids: PackedStringArray) -> void:
	if _next == 0:
		_next = batch
	_waiting[batch] = [tick, world_hash, ids]


## Every batch up to this one is on disk.
func acknowledged(epoch: int, batch: int) -> void:
	while _next > 0 and _next <= batch:
		var entry = _waiting.get(_next)
		if entry != null:
			_waiting.erase(_next)
			write("acked epoch=%d batch=%d tick=%d hash=%s ids=%s" % [epoch, _next, entry[0], entry[1], ",".join(entry[2])])
		_next += 1
