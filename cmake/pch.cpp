// Holds the precompiled torch header that every torch-using target shares.
