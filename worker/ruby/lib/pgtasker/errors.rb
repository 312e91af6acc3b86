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
      failure
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
      { "type" => "failure", "message" => clean(message), "retryable" => true }
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
      return database_message(error) if database?(error)

      case error
      when NoMethodError then "undefined method '#{error.name}' for #{receiver_of(error)}"
      when FrozenError then "can't modify a frozen #{receiver_of(error)}"
      when JSON::ParserError then "the text is no JSON"
      else
        # Without the lines of source code that did_you_mean and error_highlight add.
        (error.respond_to?(:original_message) ? error.original_message : error.message).to_s
      end
    rescue StandardError
      "(its message raises an error)"
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

      receiver.is_a?(Module) ? receiver.name : receiver.class.name
    rescue ArgumentError
      "(unknown)"
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
      text = text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
      text.scrub.tr("\0", "\u{fffd}")[0, LONGEST]
    end

    def millis(seconds)
      number = Float(seconds)
      number.finite? ? (number * 1000).round.clamp(0, 999_999_999) : 0
    rescue ArgumentError, TypeError
      0
    end
  end
end
