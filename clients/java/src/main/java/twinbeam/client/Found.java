package twinbeam.client;

import java.util.List;

/**
 * What a search found.
 *
 * @param found how many features
 * @param features the first of them
 */
public record Found(int found, List<Feature> features) {}
