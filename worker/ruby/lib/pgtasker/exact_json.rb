# frozen_string_literal: true

require "bigdecimal"
require "json"

module Tasker
  # JSON without loss: every digit of a number passes, both ways, and a value that has no form in
  # JSON is an error that names its place.
  #
  # An integer is an Integer. A decimal that a Float holds is a Float, any other is a BigDecimal.
  module ExactJson
    # Levels; a worker in Rust reads a few more.
    MAX_DEPTH = 100
    # A decimal with so many digits, or an exponent, may be more than a Float holds.
    SUSPICIOUS = /\d[\d.]{15}|\d[eE]/
    # Ruby writes floats within it without an exponent, as others do: 1.5, and not 1.5e-05.
    PLAIN = (1e-4...1e16)
    # Digits before or behind the point that are written out.
    WRITTEN_OUT = 2_000
    NUL = "a string holds the character NUL (\\u0000)"
    DEEP = "it is nested more than #{MAX_DEPTH} levels deep"

    # A text that is JSON already.
    # @api private
    Raw = ::Struct.new(:text) do
      def to_json(*) = text
    end

    # @api private
    class Problem < StandardError
      attr_reader :path

      def initialize(text)
        super(text)
        @path = []
      end
    end

    module_function

    # @param text [String] JSON
    # @param exact [Boolean, nil] whether it has decimals that a Float does not hold; nil: look
    # @return [Object] hashes with keys of text, arrays, texts, numbers, true, false, nil
    def parse(text, exact: nil)
      exact = SUSPICIOUS.match?(text) if exact.nil?
      return JSON.parse(text, max_nesting: false) unless exact

      floats(JSON.parse(text, max_nesting: false, decimal_class: BigDecimal))
    end

    # @param text [String] an item of a poll, which says itself whether it has such decimals
    def parse_item(text)
      item = JSON.parse(text, max_nesting: false)
      item.key?("inexact") ? parse(text, exact: true) : item
    end

    # Decimals that a Float holds become one.
    def floats(value)
      case value
      when BigDecimal then float(value)
      when Hash then value.transform_values! { |one| floats(one) }
      when Array then value.map! { |one| floats(one) }
      else value
      end
    end

    def float(decimal)
      float = decimal.to_f
      float.finite? && BigDecimal(float.to_s) == decimal ? float : decimal
    end

    # @param value [Object]
    # @param what [String] what the value is, for the error: "the step's result"
    # @return [String] JSON
    # @raise [InvalidResult] which names the place as a JSON Pointer
    def generate(value, what)
      value = plain(value, 0) unless ready?(value, 0)
      state.generate(value)
    rescue Problem => problem
      raise InvalidResult, message(problem, what)
    end

    # One for each thread, as making it takes longer than writing a small value.
    def state
      Thread.current[:tasker_json] ||= JSON::State.new(max_nesting: 0)
    end

    def message(problem, what)
      path = problem.path.reverse
      # The way into a deep value says little, and its text could be as large as the value.
      place = path.first(10).map { |key| "/#{escaped(key)}" }.join
      place += "/…" if path.size > 10
      place = "the whole" if place.empty?
      "#{what} cannot be stored: #{problem.message}, at #{place}"
    end

    def escaped(key)
      Failures.clean(key.to_s).gsub("~", "~0").gsub("/", "~1")
    end

    # Whether JSON.generate writes just this value: the usual case, told without copying anything. A
    # class of the user's own under String, Hash, or Array may write itself as something else.
    def ready?(value, depth)
      case value
      when String then value.instance_of?(String) && text?(value)
      when Integer, true, false, nil then true
      when Float then value.zero? || PLAIN.cover?(value.abs)
      when Hash then value.instance_of?(Hash) && depth < MAX_DEPTH && hash?(value, depth)
      when Array then value.instance_of?(Array) && depth < MAX_DEPTH && all?(value, depth)
      else false
      end
    end

    def hash?(hash, depth) = keys?(hash) && all?(hash.values, depth)

    def all?(items, depth) = items.all? { |one| ready?(one, depth + 1) }

    def text?(value)
      value.encoding == Encoding::UTF_8 && value.valid_encoding? && !value.include?("\0")
    end

    # Keys of one kind, so that no two of them are the same in JSON.
    def keys?(hash)
      return false if hash.compare_by_identity?

      kind = hash.first&.first.class
      return hash.empty? || hash.each_key.all?(Symbol) unless kind == String

      hash.each_key.all? { |key| key.is_a?(String) && text?(key) }
    end

    # The value made of what JSON has.
    def plain(value, depth)
      case value
      when String then text(value)
      when Symbol then text(value.name)
      when Integer, true, false, nil, Raw then value
      when Float then number(value)
      when BigDecimal then decimal(value)
      when Hash then object(value, depth)
      when Array then array(value, depth)
      when ::Time, ::Date then Convert.iso8601(value)
      else structure(value, depth)
      end
    end

    def structure(value, depth)
      return object(value.to_h, depth) if Convert.structure?(value.class)

      raise Problem, "#{value.class} has no form in JSON: make a Hash, an Array, or a text of it"
    end

    def text(value)
      text = value.encoding == Encoding::BINARY ? bytes(value) : value.encode(Encoding::UTF_8)
      raise Problem, "a string is not valid UTF-8" unless text.valid_encoding?
      raise Problem, NUL if text.include?("\0")

      String.new(text)
    rescue EncodingError
      raise Problem, "a string is not valid #{value.encoding}"
    end

    def bytes(value)
      return value.dup.force_encoding(Encoding::UTF_8) if value.ascii_only?

      raise Problem, "a string holds bytes, not text: encode them, as by Base64"
    end

    # 1e-300, and not 1.0e-300, which is a digit more to PostgreSQL.
    def number(value)
      raise Problem, "#{value} is no number in JSON" unless value.finite?

      Raw.new(value.to_s.sub(".0e", "e"))
    end

    # Digit by digit: 1.1, not "0.11e1".
    def decimal(value)
      raise Problem, "#{value} is no number in JSON" unless value.finite?

      form = value.exponent.abs <= WRITTEN_OUT ? "F" : "E"
      Raw.new(value.to_s(form).delete_suffix(".0"))
    end

    def object(hash, depth)
      raise Problem, DEEP if depth >= MAX_DEPTH

      hash.each_with_object({}) do |(key, value), made|
        at(key) do
          name = name(key)
          raise Problem, "two keys are #{name.inspect} in JSON" if made.key?(name)

          made[name] = plain(value, depth + 1)
        end
      end
    end

    def name(key)
      case key
      when String then text(key)
      when Symbol then text(key.name)
      else raise Problem, "a key is #{key.nil? ? 'nil' : "a #{key.class}"}, not text"
      end
    end

    def array(items, depth)
      raise Problem, DEEP if depth >= MAX_DEPTH

      items.each_with_index.map { |one, index| at(index) { plain(one, depth + 1) } }
    end

    def at(key)
      yield
    rescue Problem => problem
      problem.path << key
      raise
    end
  end
end
