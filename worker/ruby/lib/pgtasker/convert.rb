# frozen_string_literal: true

require "bigdecimal"
require "date"
require "time"

module Tasker
  # A member that may be missing or null; see Tasker.optional.
  Optional = ::Struct.new(:type)

  # @param type a type as those of Tasker::Convert
  # @return a type for members that may be missing or null
  def self.optional(type = nil) = Optional.new(type)

  # Makes a type of the handler's choice from JSON, and names the field that does not fit.
  #
  # Types are: a Struct or a Data (its members by name; more members are ignored), Integer, Float,
  # BigDecimal, Numeric, String, Symbol, :boolean, Time, Date, DateTime, Hash, Array; [T] (an array
  # of T), {String => T} (T by name), Tasker.optional(T), nil (anything); and any object with
  # `call`, which is given the value.
  #
  # A Struct or a Data says the types of its members by a method of the class:
  #
  #   Order = Struct.new(:order_id, :lines) do
  #     def self.tasker_types = { order_id: Integer, lines: [Line] }
  #   end
  module Convert
    SHAPES = { Integer => "an integer", Float => "a number", BigDecimal => "a number",
               Numeric => "a number", String => "a text", Symbol => "a text", Hash => "an object",
               Array => "an array", ::Time => "a time in ISO 8601", ::Date => "a date in ISO 8601",
               ::DateTime => "a time in ISO 8601", boolean: "true or false" }.freeze

    module_function

    # @param value [Object] as JSON has it
    # @param type see the module
    # @param place [String] where the value stands: "context"
    # @raise [InvalidInput]
    def to(value, type, place)
      case type
      when nil then value
      when Optional then value.nil? ? nil : to(value, type.type, place)
      when Array then list(value, inner(type, place), place)
      when Hash then map(value, inner(type, place), place)
      when Module, :boolean then single(value, type, place)
      else called(value, type, place)
      end
    end

    # The T of [T] and of {String => T}.
    def inner(type, place)
      fits = type.size < 2 && (type.is_a?(Array) || [[], [String]].include?(type.keys))
      return type.is_a?(Array) ? type.first : type.values.first if fits

      raise InvalidInput, "#{place}: #{type.inspect} is no type: [T] is one, and {String => T}; " \
                          "for members with names take a Struct"
    end

    def structure?(type)
      return false unless type.is_a?(Class)

      type < ::Struct || (defined?(::Data) && ::Data.respond_to?(:define) && type < ::Data) || false
    end

    def list(value, type, place)
      misfit(value, "an array", place) unless value.is_a?(Array)
      value.each_with_index.map { |one, index| to(one, type, "#{place}[#{index}]") }
    end

    def map(value, type, place)
      misfit(value, "an object", place) unless value.is_a?(Hash)
      value.to_h { |name, one| [name, to(one, type, "#{place}.#{name}")] }
    end

    def single(value, type, place)
      return members(value, type, place) if structure?(type)

      shape = SHAPES[type]
      return called(value, type, place) if shape.nil? && type.respond_to?(:call)
      raise InvalidInput, "#{place}: #{type} is no type that JSON is read as" unless shape

      made = simple(value, type, place)
      made.nil? ? misfit(value, shape, place) : made
    end

    # Nil: it does not fit.
    def simple(value, type, place)
      case type.to_s
      when "boolean" then [true, false].include?(value) ? value : nil
      when "Float" then float(value, place)
      when "BigDecimal" then value.is_a?(Numeric) ? BigDecimal(value.to_s) : nil
      when "Symbol" then value.is_a?(String) ? value.to_sym : nil
      when "Time", "Date", "DateTime" then time(value, type)
      else value.is_a?(type) ? value : nil
      end
    end

    def float(value, place)
      return unless value.is_a?(Numeric)

      float = value.to_f
      same = float.finite? && BigDecimal(float.to_s) == BigDecimal(value.to_s)
      return float if same

      text = "#{place}: a Float does not hold this number: take it as a BigDecimal"
      raise InvalidInput.new(text, code: "unsafe_number")
    end

    def time(value, type)
      return unless value.is_a?(String)

      type == ::Time ? ::Time.iso8601(value) : type.iso8601(value)
    rescue ArgumentError
      nil
    end

    def members(value, type, place)
      misfit(value, "an object", place) unless value.is_a?(Hash)
      types = types_of(type, place)
      made = type.members.to_h do |member|
        [member, member(value, member, types[member], place)]
      end
      build(type, made, place)
    end

    def types_of(type, place)
      return {} unless type.respond_to?(:tasker_types)

      types = type.tasker_types
      unknown = types.keys - type.members
      return types if unknown.empty?

      raise InvalidInput, "#{place}: #{unknown.first.inspect} of #{type}.tasker_types is no member"
    end

    def member(value, name, type, place)
      key = name.name
      return to(value[key], type, "#{place}.#{key}") if value.key?(key)
      return if type.is_a?(Optional)

      raise InvalidInput, "#{place}: missing field `#{key}`"
    end

    def build(type, made, place)
      # A Data, and a Struct that was made so, take keywords only.
      return type.new(**made) unless type < ::Struct && !type.keyword_init?

      type.new(*made.values)
    rescue StepError
      raise
    rescue StandardError => error
      raise InvalidInput, "#{place}: #{error.message}"
    end

    def called(value, type, place)
      unless type.respond_to?(:call)
        raise InvalidInput, "#{place}: #{type.inspect} is no type that JSON is read as"
      end

      type.call(value)
    rescue StepError
      raise
    rescue StandardError => error
      raise InvalidInput, "#{place}: #{error.class}: #{Failures.message_of(error)}"
    end

    # Never the value itself, which may be secret.
    def misfit(value, shape, place)
      raise InvalidInput, "#{place}: invalid type: #{kind(value)}, expected #{shape}"
    end

    def kind(value)
      case value
      when nil then "null"
      when true, false then "a boolean"
      when Integer then "an integer"
      when Numeric then "a number"
      when String then "a text"
      when Array then "an array"
      else "an object"
      end
    end

    # As many digits of the second as it has.
    def iso8601(value)
      return value.iso8601 if value.is_a?(::Date) && !value.is_a?(::DateTime)

      # Not by to_time, which ActiveSupport lets forget the offset.
      nanos = value.is_a?(::DateTime) ? (value.sec_fraction * 1_000_000_000).to_i : value.nsec
      digits = nanos.zero? ? 0 : (nanos % 1000).zero? ? 6 : 9
      value.xmlschema(digits)
    end
  end
end
