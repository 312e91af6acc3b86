# frozen_string_literal: true

require_relative "../unit_helper"
require "date"
require "set"

# Nothing is lost between JSON and Ruby, and what cannot be kept is named with its place.
class ExactJsonTest < UnitTest
  def generate(value) = Tasker::ExactJson.generate(value, "the step's result")

  def refused(value)
    error = assert_raises(Tasker::InvalidResult) { generate(value) }
    assert_equal "invalid_result", error.code
    refute error.retryable?
    error.message.delete_prefix("the step's result cannot be stored: ")
  end

  def test_numbers_pass_digit_by_digit
    text = '{"i":123456789012345678901234567890,"d":0.1234567890123456789012345,"f":0.1,' \
           '"e":1E+400,"z":9007199254740993,"n":-1.5}'
    value = Tasker::ExactJson.parse(text)
    assert_equal 123_456_789_012_345_678_901_234_567_890, value["i"]
    assert_equal BigDecimal("0.1234567890123456789012345"), value["d"]
    assert_equal [Float, BigDecimal, Integer], %w[f e z].map { |name| value[name].class }
    written = generate(value)
    assert_includes written, '"d":0.1234567890123456789012345'
    assert_includes written, "\"e\":1#{'0' * 400}"
    assert_equal value, Tasker::ExactJson.parse(written)
  end

  def test_a_decimal_of_any_size_is_written_as_a_number
    assert_equal "[1.1,100,0.00001,-2.5]",
                 generate(%w[1.10 100 0.00001 -2.50].map { |text| BigDecimal(text) })
    assert_operator generate(BigDecimal("1e1000000")).size, :<, 20
  end

  def test_a_float_has_no_digit_more_than_it_needs
    floats = [1e-300, -1e23, 1.5e-5, 0.0001, 1e16, 123_456.5, 1.0, -0.0]
    assert_equal "[1e-300,-1e+23,1.5e-05,0.0001,1e+16,123456.5,1.0,-0.0]", generate(floats)
  end

  class Quiet < Array
    def to_json(*) = "null"
  end

  class Text < String
    def to_json(*) = "1"
  end

  def test_classes_under_those_of_json_are_what_they_hold
    assert_equal '{"a":[1,"x"]}', generate({ "a" => Quiet.new([1, Text.new("x")]) })
    same = {}.compare_by_identity
    2.times { |n| same[+"a"] = n }
    error = assert_raises(Tasker::InvalidResult) { generate(same) }
    assert_match(/two keys are "a"/, error.message)
  end

  def test_texts_of_other_encodings_are_the_same_text
    assert_equal '["é","a"]', generate(["\xE9".dup.force_encoding("ISO-8859-1"), "a".b])
    assert_equal '{"a":"b","c":[]}', generate({ a: :b, c: [] })
  end

  def test_times_and_structs
    point = Struct.new(:x, :at)
    time = Time.utc(2026, 1, 2, 3, 4, 5, 250_000)
    assert_equal '{"x":"2026-01-02","at":"2026-01-02T03:04:05.250000Z"}',
                 generate(point.new(Date.new(2026, 1, 2), time))
    assert_equal '"2026-01-02T03:04:05+02:00"', generate(DateTime.new(2026, 1, 2, 3, 4, 5, "+2"))
    assert_equal '"2026-01-02T03:04:05.250000+02:00"',
                 generate(DateTime.new(2026, 1, 2, 3, 4, 5.25r, "+2"))
    assert_equal '"2026-01-02T03:04:05Z"', generate(Time.utc(2026, 1, 2, 3, 4, 5))
  end

  def test_what_json_lacks_is_named_with_its_place
    {
      [Float::NAN] => "NaN is no number in JSON, at /0",
      { a: { b: [1, -Float::INFINITY] } } => "-Infinity is no number in JSON, at /a/b/1",
      { "x/y~z" => BigDecimal("NaN") } => "NaN is no number in JSON, at /x~1y~0z",
      Object.new => "Object has no form in JSON",
      [Set[1]] => "Set has no form in JSON",
      { r: 1..2 } => "Range has no form in JSON",
      { r: 1r } => "Rational has no form in JSON",
      { c: -> {} } => "Proc has no form in JSON",
      { nil => 1 } => "a key is nil, not text, at /",
      { a: { 1 => 2 } } => "a key is a Integer, not text, at /a/1",
      { :a => 1, "a" => 2 } => 'two keys are "a" in JSON, at /a',
      ["\xFF"] => "a string is not valid UTF-8, at /0",
      ["\xFF".b] => "a string holds bytes, not text: encode them, as by Base64, at /0",
      "a\0" => "a string holds the character NUL (\\u0000), at the whole"
    }.each { |value, message| assert_includes refused(value), message }
  end

  def test_cycles_and_depths_are_refused
    cycle = { a: [] }
    cycle[:a] << cycle
    assert_includes refused(cycle), "nested more than 100 levels deep, at /a/0/a/0"
    nested = ->(levels) { (0...levels).reduce(1) { |inner, _| [inner] } }
    assert_equal 100, generate(nested.call(100)).count("[")
    assert_includes refused(nested.call(101)), "at /0/0/0/0/0/0/0/0/0/0/…"
  end

  def test_deep_documents_are_read
    text = "#{'[' * 3000}1#{']' * 3000}"
    assert_equal text, JSON.generate(Tasker::ExactJson.parse(text), max_nesting: 0)
  end
end
