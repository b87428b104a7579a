"""The SQL that the proof allows: functions and operators whose value depends on one row alone.

A name that is missing here costs only speed: a view that uses it is computed interval by interval.
"""

from __future__ import annotations

from sqlglot import exp

_FUNCTIONS = """
Abs Acos Acosh AddMonths And Array ArrayAll ArrayAny ArrayAppend ArrayCompact ArrayConcat
ArrayContainedBy ArrayContains ArrayContainsAll ArrayDistinct ArrayExcept ArrayFilter ArrayFirst
ArrayInsert ArrayIntersect ArrayLast ArrayMax ArrayMin ArrayOverlaps ArrayPosition ArrayPrepend
ArrayRemove ArrayRemoveAt ArrayReverse ArraySize ArraySlice ArraySort ArraySum ArrayToString
ArraysZip Ascii Asin Asinh Atan Atan2 Atanh Base64DecodeBinary Base64DecodeString Base64Encode
BitLength BitwiseCount Booland Boolnot Boolor ByteLength Case Cast CastToStrType Cbrt Ceil
CheckJson Chr CityHash64 Coalesce Collate Concat ConcatWs Contains Convert ConvertTimezone Cos
Cosh CosineDistance Cot Coth Csc Csch Date DateAdd DateBin DateDiff DateFromParts DateFromUnixDate
DateStrToDate DateSub DateToDateStr DateToDi DateTrunc Datetime DatetimeAdd DatetimeDiff
DatetimeSub DatetimeTrunc Day DayOfMonth DayOfWeek DayOfWeekIso DayOfYear Dayname Decode
DecodeCase Degrees DiToDate DotProduct Elt Encode EndsWith EqualNull EuclideanDistance Exp Extract
Factorial FarmFingerprint Float64 Floor Format FromBase64 FromISO8601Date FromISO8601Timestamp
FromISO8601TimestampNanos FromJson GetExtract GetIgnoreCase Getbit Greatest Hex HexDecodeString
Hour If Initcap Int64 IsArray IsAscii IsInf IsNan IsNullValue JSONArray JSONArrayAppend
JSONArrayContains JSONArrayInsert JSONBContains JSONBExtract JSONBExtractScalar JSONBool JSONCast
JSONExists JSONExtract JSONExtractArray JSONExtractScalar JSONFormat JSONKeys JSONObject
JSONRemove JSONSet JSONStripNulls JSONType JSONValueArray JarowinklerSimilarity JustifyDays
JustifyHours JustifyInterval LastDay LaxBool LaxFloat64 LaxInt64 LaxString Least Left Length
Levenshtein Ln Log Lower LowerHex MD5 MD5Digest MD5NumberLower64 MD5NumberUpper64 MakeInterval
ManhattanDistance Map MapCat MapContainsKey MapDelete MapFromEntries MapInsert MapKeys MapPick
MapSize Minute Month Monthname MonthsBetween Nanvl NextDay Nullif NumberToStr Nvl2 ObjectInsert Or
Overlay Pad ParseDatetime ParseJSON ParseNumeric ParseTime ParseUrl Pi Pow PreviousDay Quarter
Radians RangeBucket Reduce RegexpCount RegexpExtract RegexpExtractAll RegexpFullMatch RegexpILike
RegexpInstr RegexpLike RegexpReplace RegexpSplit RegexpSubstr Repeat Replace Reverse Right Rint
Round RtrimmedLength SHA SHA1Digest SHA2 SHA2Digest SafeAdd SafeDivide SafeMultiply SafeNegate
SafeSubtract Sec Sech Second Sign Sin Sinh Soundex Space Split SplitPart Sqrt StandardHash
StartsWith StrPosition StrToDate StrToMap StrToTime StrToUnix String StringToArray StripNullValue
Strtok StrtokToArray Struct StructExtract Stuff Substring SubstringIndex Tan Tanh Time TimeAdd
TimeDiff TimeFromParts TimeSlice TimeStrToDate TimeStrToTime TimeStrToUnix TimeSub TimeToStr
TimeToTimeStr TimeToUnix TimeTrunc Timestamp TimestampAdd TimestampDiff TimestampFromParts
TimestampLtzFromParts TimestampSub TimestampTrunc TimestampTzFromParts ToArray ToBase64 ToBinary
ToBoolean ToChar ToDays ToDouble ToMap ToNumber ToVariant Transform Translate Trim Trunc Try
TryBase64DecodeBinary TryBase64DecodeString TryCast TryHexDecodeBinary TryHexDecodeString
TsOrDiToDi TsOrDsAdd TsOrDsDiff TsOrDsToDate TsOrDsToDateStr TsOrDsToDatetime TsOrDsToTime
TsOrDsToTimestamp Typeof Unhex Unicode UnixDate UnixMicros UnixMillis UnixSeconds UnixToStr
UnixToTime UnixToTimeStr Upper VarMap Week WeekOfYear WeekStart WidthBucket Xor Year YearOfWeek
YearOfWeekIso
"""
_CLAUSES = """
Alias AtTimeZone Between Boolean Bracket Cast Collate Column Cube DataType DataTypeParam Distance
Dot Escape FormatJson FromTimeZone HexString Hint Identifier In Interval IntervalSpan JSONPath
JSONPathFilter JSONPathKey JSONPathRecursive JSONPathRoot JSONPathScript JSONPathSelector
JSONPathSlice JSONPathSubscript JSONPathUnion JSONPathWildcard JSONKeyValue Kwarg Lambda Literal
National Neg Not Null Paren PropertyEQ RawString Slice Star Subquery TableAlias Tuple Var
ByteString BitString UnicodeString ColumnDef TableColumn Aliases BitwiseNot Opclass
"""
ROW_LOCAL: frozenset[type[exp.Expr]] = frozenset(
    # Versions of sqlglot differ in a few classes; those that it lacks are skipped.
    getattr(exp, name)
    for name in (_FUNCTIONS + _CLAUSES).split()
    if hasattr(exp, name)
)
"""Classes of expressions whose value depends on one row alone; operators are not in the list."""

_NAMED = """
age base64 bin bit_count char_length chr concat_ws contains convert_timezone date_add date_diff
date_from_parts date_part date_sub date_trunc datediff datepart day dayname dayofmonth dayofweek
dayofyear decade decode div0 div0null ends_with endswith epoch epoch_ms epoch_ns epoch_us era even
from_base64 from_unixtime from_utc_timestamp greatest_ignore_nulls hash hex hour iff ifnull instr
isfinite isinf isnan isodow isoyear json_array_length json_extract json_extract_string json_type
json_valid json_value julian last_day least_ignore_nulls left_pad list_aggregate list_any_value
list_append list_concat list_contains list_distinct list_element list_extract list_filter
list_has_all list_has_any list_indexof list_max list_min list_position list_reduce list_reverse
list_slice list_sort list_sum list_transform list_unique list_value list_zip lpad ltrim make_date
make_time make_timestamp make_timestamp_ms make_timestamp_ns map_extract map_keys map_values md5
microsecond millennium millisecond minute mod month monthname nanosecond nullifzero nvl
object_construct object_construct_keep_null parse_json pmod pow power printf quarter
regexp_matches right rpad rtrim second sha1 sha256 sha2 sqrt starts_with startswith str_split
strftime string_split string_split_regex strip_accents strlen strptime struct_extract struct_pack
time_bucket timestamp_micros timestamp_millis timestamp_seconds timezone timezone_hour
timezone_minute to_base to_date to_days to_hours to_json to_microseconds to_milliseconds
to_minutes to_months to_number to_seconds to_timestamp to_timestamp_ltz to_timestamp_ntz
to_timestamp_tz to_utc_timestamp to_varchar to_weeks to_years trim try_strptime try_to_date
try_to_number try_to_timestamp try_to_timestamp_ntz unbin unix_micros unix_millis unix_seconds
unix_timestamp url_decode url_encode week weekday weekofyear xxhash64 year yearweek zeroifnull
"""
NAMED = frozenset(_NAMED.split())
"""Functions without a class in the parser whose value depends on one row, in all warehouses."""

UNNESTING = (exp.Unnest, exp.Explode, exp.Posexplode, exp.Flatten, exp.Inline, exp.GenerateSeries)
"""Functions that make several rows from one row alone."""
UNNESTING_NAMES = frozenset(
    {"flatten", "explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "unnest"}
)


def row_local(node: exp.Expr) -> bool:
    """Tell whether the value of this node, except its arguments, depends on one row alone."""
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in NAMED
    if isinstance(node, exp.Any | exp.All):
        # LIKE ANY ('a%', 'b%') does; but Spark has aggregates named any and all.
        return isinstance(node.parent, exp.Like | exp.ILike) and isinstance(node.this, exp.Tuple)
    if isinstance(node, exp.Exists):
        return True  # a subquery is proved by itself; Spark's exists(list, ...) is row local
    return type(node) in ROW_LOCAL or (
        isinstance(node, exp.Binary | exp.Unary | exp.Predicate) and not isinstance(node, exp.Func)
    )
