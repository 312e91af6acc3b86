# frozen_string_literal: true

require "json"

module Tasker
  # What this library raises.
  class Error < StandardError; end

  # The worker or the consumer could not start, or ended before it was asked to.
  class StartError < Error; end

  # The native module is missing, or does not fit this platform.
  class NativeError < Error; end

  # The failure of a step, as its handler wants it judged. Raise one of its two kinds.
  class StepError < Error
    # @return [String, nil] a short stable word for programs, like "card_declined"
    attr_reader :code
    # @return [Numeric, nil] seconds until the next attempt, instead of the template's backoff
    attr_reader :retry_after

    # @param message [String] for people; 10,000 characters are kept
    def initialize(message = nil, code: nil, retry_after: nil)
      super(message)
      @code = code
      @retry_after = retry_after
    end

    # @return [Boolean] whether the step may be tried again
    def retryable? = true

    # @api private
    # @return [Hash] the outcome
    def to_outcome
      failure = { "type" => "failure", "message" => Failures.clean(message.to_s),
                  "retryable" => retryable? }
      failure["code"] = Failures.clean(code.to_s) if code
      failure["retry_after_ms"] = Failures.millis(retry_after) if retry_after && retryable?
      failure.compact
    end

    # @api private
    # @param error [Hash] the fields of a failure that the worker has told
    def self.from(error)
      kind = error["retryable"] ? RetryableError : PermanentError
      delay = error["retry_after_ms"]
      kind.new(error["message"], code: error["code"], retry_after: delay && (delay / 1000.0))
    end
  end

  # A failure that may pass: the step is tried again while it has attempts left.
  class RetryableError < StepError; end

  # A failure that stays: the step goes to `error` at once, whatever its attempts.
  class PermanentError < StepError
    def retryable? = false
  end

  # Raised by Tasker::StepContext#check_cancelled!.
  class Cancelled < RetryableError
    def initialize(why = "cancelled")
      super("the step was asked to stop: #{why}", code: "cancelled")
    end
  end

  # Data that do not fit what the handler asked for; the message names the field.
  class InvalidInput < PermanentError
    def initialize(message, code: "invalid_input")
      super(message, code: code)
    end
  end

  # A value that JSON or the database cannot hold; the message names its place.
  class InvalidResult < PermanentError
    def initialize(message)
      super(message, code: "invalid_result")
    end
  end

  # How exceptions become failures.
  # @api private
  module Failures
    # Characters of a message: as many as the database keeps.
    LONGEST = 10_000
    LIBRARY = __dir__
    FOREIGN = begin
      require "rbconfig"
      paths = %w[rubylibdir rubyarchdir sitelibdir vendorlibdir].map { |n| RbConfig::CONFIG[n] }
      paths += Gem.path if defined?(Gem)
      ["<internal:", *[LIBRARY, *paths].compact.uniq.map { |path| "#{path}/" }].freeze
    end

    module_function

    # @param error [Exception]
    # @return [Hash] the outcome
    def outcome(error)
      return error.to_outcome if error.is_a?(StepError)

      place = place(error)
      message = described(error) + (place ? " (#{place})" : "")
      failure = { "type" => "failure", "message" => clean(message), "retryable" => true }
      code = sqlstate(error)
      code ? failure.merge("code" => code) : failure
    rescue StandardError
      # An error of the user's own class whose methods raise errors.
      { "type" => "failure", "retryable" => !error.is_a?(PermanentError),
        "message" => "#{error.class}: (it raises an error itself where it is to be shown)" }
    end

    # Tells the application's logger, which may fail, and then standard error, which may be closed.
    def complain(logger, text)
      logger.error(text)
    rescue Exception # rubocop:disable Lint/RescueException
      begin
        warn(text)
      rescue Exception # rubocop:disable Lint/RescueException
        nil
      end
    end

    # How messages call a handler.
    def name_of(target)
      case target
      when Module then target.name || "a class without a name"
      when Proc then "the block at #{target.source_location&.join(':')}"
      else "an object of #{target.class}"
      end
    end

    # The code of an error of the database, also of one that ActiveRecord has wrapped.
    def sqlstate(error)
      error = error.cause if error.cause && database?(error) && !error.respond_to?(:result)
      return unless defined?(::PG::Error) && error.is_a?(::PG::Error)

      error.result&.error_field(::PG::Result::PG_DIAG_SQLSTATE)
    rescue ::PG::Error
      # Its result was cleared.
      nil
    end

    # The class and the message of the error and of its causes.
    def described(error)
      texts = []
      while error && texts.size < 10
        texts << [error.class, message_of(error)].compact.join(": ")
        error = error.cause
      end
      texts.uniq.join(": ")
    end

    # Ruby's own messages of these show a value, which may be the step's data.
    # @return [String, nil] nil: its cause says it
    def message_of(error)
      return database_message(error)&.then { |text| clean(text) } if database?(error)

      # Each by itself: texts of several encodings cannot be joined.
      clean(own_message(error))
    rescue StandardError
      "(its message raises an error)"
    end

    def own_message(error)
      case error
      when NameError then name_message(error)
      when FrozenError then frozen_message(error)
      when JSON::ParserError then "the text is no JSON"
      when NoMatchingPatternError then pattern_message(error)
      when ArgumentError then original(error).sub(/\A(invalid value for \w+\(\)): .*\z/m, "\\1")
      else original(error)
      end
    end

    # Without the lines of source code that did_you_mean and error_highlight add.
    def original(error)
      (error.respond_to?(:original_message) ? error.original_message : error.message).to_s
    end

    def frozen_message(error)
      receiver = receiver_of(error)
      receiver ? "can't modify a frozen #{receiver}" : original(error)
    end

    def name_message(error)
      text = original(error)
      receiver = receiver_of(error)
      return text if receiver.nil?
      if text.start_with?("undefined local variable")
        return "undefined local variable or method '#{error.name}' for #{receiver}"
      end
      return text unless error.is_a?(NoMethodError)

      hidden = text[/\A(?:private|protected) method/]
      return "#{hidden} '#{error.name}' called for #{receiver}" if hidden

      "undefined method '#{error.name}' for #{receiver}"
    end

    def pattern_message(error)
      key = error.respond_to?(:key) ? ": key not found: #{error.key.inspect}" : ""
      "no pattern matches the value#{key}"
    end

    def database?(error)
      (defined?(::PG::Error) && error.is_a?(::PG::Error)) ||
        (defined?(::ActiveRecord::StatementInvalid) &&
          error.is_a?(::ActiveRecord::StatementInvalid))
    end

    # Only the primary message: the details show rows. ActiveRecord's errors repeat the message of
    # their cause, and may add the statement.
    def database_message(error)
      return primary(error) || first_line(error) if error.respond_to?(:result)

      database?(error.cause) ? nil : first_line(error)
    end

    def primary(error)
      error.result&.error_field(::PG::Result::PG_DIAG_MESSAGE_PRIMARY)
    rescue ::PG::Error
      # Its result was cleared.
      nil
    end

    def first_line(error) = error.message.to_s[/\A.*/].sub(/\AERROR:\s+/, "")

    def receiver_of(error)
      receiver = error.receiver
      return receiver.inspect if [nil, true, false].include?(receiver)

      (receiver.is_a?(Module) ? receiver : receiver.class).name || "an object"
    rescue ArgumentError
      # It has none: somebody has raised it with a text of their own.
      nil
    end

    # File, line, and method of the innermost frame of the user's own code.
    def place(error)
      frames = error.backtrace_locations or return
      frame = frames.find { |one| own?(one.path.to_s) } ||
              frames.find { |one| !one.path.to_s.start_with?(LIBRARY, "<internal:") }
      frame && "#{File.basename(frame.path)}:#{frame.lineno} in #{frame.label}"
    end

    def own?(path)
      FOREIGN.none? { |foreign| path.start_with?(foreign) }
    end

    # Text that the database takes, whatever its encoding.
    def clean(text)
      # As bytes come texts from sockets and drivers.
      text = text.dup.force_encoding(Encoding::UTF_8) if text.encoding == Encoding::BINARY
      text = text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
      text.scrub.tr("\0", "\u{fffd}")[0, LONGEST]
    rescue EncodingError
      # Ruby knows no way from this encoding.
      clean(text.b)
    end

    # @return [Integer, nil] nil: it is no time, and the template's backoff counts
    def millis(seconds)
      number = Float(seconds)
      number.finite? ? (number * 1000).round.clamp(0, 999_999_999) : nil
    rescue ArgumentError, TypeError
      nil
    end
  end
end
