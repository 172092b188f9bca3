package twinbeam.client;

import java.util.Map;

/**
 * Events that are durable.
 *
 * @param events how many
 * @param lanes last offset in each lane that got some
 * @param served whether it was waited until they can be read
 */
public record Pushed(int events, Map<String, Long> lanes, boolean served) {}
