# frozen_string_literal: true

require_relative "../unit_helper"

# A context of another shape is an error that names the field, and never shows its data.
class ConvertTest < UnitTest
  Line = Struct.new(:sku, :count, keyword_init: true) do
    def self.tasker_types = { sku: String, count: Integer }
  end
  Order = Struct.new(:order_id, :lines, :note, :at) do
    def self.tasker_types
      { order_id: Integer, lines: [Line], note: Tasker.optional(String),
        at: Tasker.optional(Time) }
    end
  end
  Plain = Struct.new(:a)

  def convert(value, type = Order) = Tasker::Convert.to(value, type, "context")

  def refused(value, type = Order)
    error = assert_raises(Tasker::InvalidInput) { convert(value, type) }
    assert_equal [false, "invalid_input"], [error.retryable?, error.code]
    error.message
  end

  def test_structs_are_made_with_their_parts
    order = convert({ "order_id" => 1, "lines" => [{ "sku" => "a", "count" => 2, "more" => 1 }],
                      "at" => "2026-01-02T03:04:05.5Z" })
    assert_equal [1, [Line.new(sku: "a", count: 2)], nil], order.to_a.first(3)
    assert_equal Time.utc(2026, 1, 2, 3, 4, 5.5r), order.at
  end

  def test_the_field_is_named
    assert_equal "context: missing field `order_id`", refused({})
    assert_equal "context: invalid type: an array, expected an object", refused([])
    lines = ->(*all) { { "order_id" => 1, "lines" => all } }
    assert_equal "context.lines[1]: missing field `count`",
                 refused(lines.call({ "sku" => "a", "count" => 1 }, { "sku" => "b" }))
    assert_equal "context.lines[0].count: invalid type: a text, expected an integer",
                 refused(lines.call({ "sku" => "a", "count" => "4242" }))
    assert_equal "context.note: invalid type: a number, expected a text",
                 refused({ "order_id" => 1, "lines" => [], "note" => 1.5 })
    assert_equal "context: missing field `a`", refused({}, Plain)
    assert_equal "context.at: invalid type: a text, expected a time in ISO 8601",
                 refused({ "order_id" => 1, "lines" => [], "at" => "yesterday" })
  end

  def test_other_types
    assert_equal 1.0, convert(1, Float)
    assert_equal BigDecimal("1.5"), convert(1.5, BigDecimal)
    assert_equal({ "a" => [1] }, convert({ "a" => [1] }, { String => [Integer] }))
    assert_equal false, convert(false, :boolean)
    assert_equal 3, convert({ "a" => 3 }, ->(value) { value.fetch("a") })
    assert_equal "context: KeyError: key not found: \"b\"",
                 refused({}, ->(value) { value.fetch("b") })
    assert_match(/Thread is no type/, refused({}, Thread))
  end

  Odd = Struct.new(:a) do
    def self.tasker_types = { b: Integer }
  end

  def test_what_is_no_type_says_so
    [5, :symbol, "String", { a: Integer }, { String => Integer, Integer => String },
     [Integer, String]].each do |type|
      assert_includes refused([], type), "#{type.inspect} is no type"
    end
    assert_equal "context: :b of ConvertTest::Odd.tasker_types is no member",
                 refused({ "a" => 1 }, Odd)
    assert_equal [[1], { "a" => 1 }], [convert([1], []), convert({ "a" => 1 }, {})]
  end

  def test_a_float_is_never_rounded
    error = assert_raises(Tasker::InvalidInput) do
      convert([1, 2**53 + 1], [Float])
    end
    assert_equal ["unsafe_number", true],
                 [error.code, error.message.start_with?("context[1]: a Float does not hold")]
    assert_raises(Tasker::InvalidInput) { convert(BigDecimal("0.12345678901234567890"), Float) }
  end

  def test_data_is_made_by_keywords
    skip "Ruby #{RUBY_VERSION} has no Data" unless defined?(Data) && Data.respond_to?(:define)
    point = Data.define(:x, :y)
    assert_equal point.new(x: 1, y: 2), convert({ "x" => 1, "y" => 2 }, point)
    assert_equal "context: missing field `y`", refused({ "x" => 1 }, point)
  end
end
