extends RefCounted
## One or more values of every plain type, with the edges that a codec gets wrong.


static func all() -> Array:
	var typed_dictionary: Dictionary[String, int] = {"a": 1, "b": 2}
	var half_typed: Dictionary[StringName, Variant] = {&"a": 1}
	var vectors: Array[Vector3] = [Vector3(1, 2, 3), Vector3.ZERO]
	var nested: Array[Dictionary] = [{"x": 1}, {}]
	var packed: Array[PackedByteArray] = [PackedByteArray([1, 2, 3])]
	var values: Array = [
		null, true, false,
		0, 1, -1, 2147483647, -2147483648, 2147483648, 9223372036854775807, -9223372036854775807 - 1,
		0.0, -0.0, 0.5, 0.1, -1e300, 5e-324, INF, -INF, NAN,
		"", "a", "ab", "abc", "abcd", "Grüße, 世界 🎮", "tab\tnewline\n\"quote\"",
		&"", &"name", &"Grüße",
		NodePath(""), NodePath("."), NodePath(".."), NodePath("/root"), NodePath("/root/Main/Player:position:x"),
		NodePath("a/b/c"), NodePath(":modulate:a"),
		Vector2(1.5, -2.5), Vector2(0.1, 1e20), Vector2i(-1, 2147483647), Vector2(NAN, INF),
		Rect2(1, 2, 3, 4), Rect2i(1, -2, 3, 4),
		Vector3(1, 2, 3.25), Vector3i(1, 2, -3), Vector4(1, 2, 3, 4), Vector4i(1, 2, 3, -4),
		Transform2D(0.5, Vector2(3, 4)), Transform2D.IDENTITY,
		Plane(Vector3.UP, 2.5), Quaternion(0.1, 0.2, 0.3, 0.4), AABB(Vector3(1, 2, 3), Vector3(4, 5, 6)),
		Basis.from_euler(Vector3(0.1, 0.2, 0.3)), Transform3D(Basis.from_euler(Vector3(1, 2, 3)), Vector3(7, 8, 9)),
		Projection.create_perspective(60.0, 1.5, 0.1, 100.0), Color(0.1, 0.2, 0.3, 0.4), Color.TRANSPARENT,
		{}, {"a": 1, 2: "b", 3.5: null, &"c": [1, 2], Vector2i(1, 2): {}, null: true, true: false},
		typed_dictionary, half_typed,
		[], [1, "two", 3.0, null, [4, [5, [6]]]], vectors, nested, packed,
		PackedByteArray(), PackedByteArray([0, 255, 7]), PackedByteArray([1, 2, 3, 4]),
		PackedInt32Array(), PackedInt32Array([1, -1, 2147483647]),
		PackedInt64Array([1, -1, 9223372036854775807]),
		PackedFloat32Array([0.1, -INF, 3]), PackedFloat64Array([0.1, INF, 3]),
		PackedStringArray(), PackedStringArray(["", "a", "abc", "abcd", "Grüße"]),
		PackedVector2Array([Vector2(1, 2), Vector2(0.1, 0.2)]), PackedVector3Array([Vector3(1, 2, 3)]),
		PackedVector4Array([Vector4(1, 2, 3, 4)]), PackedColorArray([Color.RED, Color(0.1, 0.2, 0.3)]),
	]
	values.append({"everything": values.duplicate()})
	return values


## Values that are refused, each with what the refusal must name.
static func refused(owner: Object) -> Array:
	return [
		[owner, "object"], [Callable(owner, "free"), "callable"], [RID(), "rid"], [owner.script_changed, "signal"],
		[{"players": [1, {"node": owner}]}, "[\"players\"][1][\"node\"]"],
	]
