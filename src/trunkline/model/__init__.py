"""The words of the platform: readings, quality, tag paths, events, times. Pure: no I/O, nothing imported of ours."""
