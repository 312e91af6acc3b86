# frozen_string_literal: true

require "logger"

module Tasker
  # A logger whose lines say of which step they are.
  class StepLogger
    LEVELS = { debug: Logger::DEBUG, info: Logger::INFO, warn: Logger::WARN,
               error: Logger::ERROR, fatal: Logger::FATAL }.freeze

    # @api private
    def initialize(logger, task_id, step)
      @logger = logger
      @tag = "task_id=#{task_id} step=#{step}"
    end

    LEVELS.each do |name, level|
      # @param message [String]
      define_method(name) { |message = nil, &block| add(level, message, &block) }
      define_method(:"#{name}?") { @logger.level <= level }
    end

    # @param severity [Integer]
    def add(severity, message = nil, _progname = nil)
      return true if severity < @logger.level

      message = yield if message.nil? && block_given?
      @logger.add(severity, "#{message} #{@tag}")
    end

    # Writes the line of the worker's own log.
    # @api private
    def self.forward(logger, item)
      level = LEVELS.fetch(item["level"].downcase.to_sym, Logger::DEBUG)
      return if level < logger.level

      fields = (item["fields"] || {}).map { |name, value| "#{name}=#{value}" }
      logger.add(level, [item["message"], *fields].join(" "), item["target"])
    end
  end
end
