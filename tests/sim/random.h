/* Random numbers that are the same everywhere for one seed: xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t words[4];
};

static inline uint64_t random_mix(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline void random_seed(struct random *random, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		random->words[i] = random_mix(&seed);
	}
}

static inline uint64_t random_next(struct random *random)
{
	uint64_t *s = random->words;
	uint64_t x = s[1] * 5, result = ((x << 7) | (x >> 57)) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/* 0 .. below - 1; 0 for below = 0. */
static inline uint32_t random_below(struct random *random, uint32_t below)
{
	return (uint32_t)(((random_next(random) >> 32) * below) >> 32);
}

/* from .. to, both included. */
static inline int64_t random_between(struct random *random, int64_t from, int64_t to)
{
	return from + (int64_t)random_below(random, (uint32_t)(to - from + 1));
}

/* True once in `times`. */
static inline bool random_one_in(struct random *random, uint32_t times)
{
	return random_below(random, times) == 0;
}

#endif
